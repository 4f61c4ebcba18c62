"""The relay: channels in, recorded and served again."""
