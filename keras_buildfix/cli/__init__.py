"""The commands of ``keras-buildfix``, one file a group."""
