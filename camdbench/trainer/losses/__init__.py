"""Losses: functions of a training step that return one value per image; one file per paper."""
