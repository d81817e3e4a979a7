"""The program `distribute`, also as `python -m distribute_cli`."""

from distribute.collector import collect_garbage_rarely, collector_paused


def start() -> None:
    """Run the verb that the command line names."""
    with collector_paused():
        from distribute_cli.main import main
    collect_garbage_rarely()
    main()


if __name__ == "__main__":
    start()
