"""python3 -I -m spank_container: how the hooks start it, with the interpreter that it was installed for."""

from spank_container.cli import main

main()
