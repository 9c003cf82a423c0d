"""The experiment of tools/research/reading_videos.py."""
