"""The License aggregate: its facts (`events`), its state (`state`), its rules (`decisions`, `access`)."""
