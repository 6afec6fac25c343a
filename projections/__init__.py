"""The read side: answers computed from events, each rebuildable from event one."""
