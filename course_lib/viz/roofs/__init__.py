"""The roofline: a picture, without steps."""
