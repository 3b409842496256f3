"""Losses: functions of one training step that return one value per image; one file per paper."""
