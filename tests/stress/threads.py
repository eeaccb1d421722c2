"""The threads of a test, none of which dies silently, and its verdict."""

import threading


def watched(complaints, what, *arguments):
    """A thread that runs `what`; what surprises it is a complaint."""

    def run():
        try:
            what(*arguments)
        except Exception as surprise:  # a thread that dies silently would be a test that passes
            complaints.append(f"{what.__name__}: {type(surprise).__name__} {surprise}")

    return threading.Thread(target=run, daemon=True)


def run_all(complaints, jobs):
    """Runs functions with their arguments side by side, to their ends."""
    threads = [watched(complaints, *job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def verdict(complaints):
    """What a test exits with, after its complaints."""
    for complaint in complaints[:20]:
        print("WRONG:", complaint)
    return 1 if complaints else 0
