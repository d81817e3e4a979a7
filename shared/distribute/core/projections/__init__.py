"""What readers derive from events beside the state: a batch's course, its results, a job's attempts.

All of them use `BatchStory`, which folds one batch from its own events by `advance`, as `apply` does. So a
reader of one batch accepts exactly the events that the scheduler accepts; a property test compares the two
after every event.
"""
