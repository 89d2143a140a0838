"""The executor: apply a plan, undo a record. The only room that needs root, so it holds no decisions."""
