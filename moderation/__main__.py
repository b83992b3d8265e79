from moderation.cli import main

main(prog_name="python -m moderation")
