"""What all views share: base class, page, player, stills, input checks and style sheet."""
