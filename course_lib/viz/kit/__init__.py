"""What all views share: base class, page, player, stills, words, looks, input checks and style sheets."""
