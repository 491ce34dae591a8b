"""A chat with a server, in the notebook. `from course_lib.viz import chat_box`."""
