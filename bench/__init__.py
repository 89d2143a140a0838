"""What must be fast, measured on a real cluster against floors and judged: `./dev bench [NAME]`.

A floor is what nobody could do without, such as starting the interpreter twice for a Prolog and an Epilog. It is
measured in the same run, in turns with what it is compared to, so that a busy machine slows both.
"""
