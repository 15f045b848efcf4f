"""Labels by a teacher, as a data set of the kind `folder`: see `lraspp teach --help`."""
