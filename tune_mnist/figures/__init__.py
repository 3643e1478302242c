"""Every figure: the table that it shows, then its drawing. `gallery` is the door: it draws all of a results folder."""
