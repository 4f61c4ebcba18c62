"""Datagrams, and who speaks in them: sockets, announcements, sessions, discovery."""
