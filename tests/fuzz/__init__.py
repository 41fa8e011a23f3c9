"""Frames that no honest vehicle sends, made of frames that one does; each run by a seed."""
