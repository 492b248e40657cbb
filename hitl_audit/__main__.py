"""``python -m hitl_audit``."""

from hitl_audit.cli import main

if __name__ == "__main__":
    main()
