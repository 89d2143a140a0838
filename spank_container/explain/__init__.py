"""A plan in words: what a job's container shows, how, and why; for people as tables, for machines as JSON.

`rows` reads it out of the plan, `show` prints it. Nothing here looks at the machine: who asks brings the plan.
"""
