"""The far end of `contenders.Worker`: one implementation that answers one question a line."""

import json
import os
import sys
import time
from functools import cached_property, partial

from bench import cases
from bench.implementations import IMPLEMENTATIONS
from wakesleep.state import start

AWAKE = 0.25  # seconds of work

class Answers:
    """What one implementation is asked about one piece of work."""

    def __init__(self, name, n_threads, work):
        self.implementation = partial(IMPLEMENTATIONS[name], n_threads=n_threads)
        self.work = cases.Work(**work)

    @cached_property
    def machine(self):
        """A machine that begins where all others begin: with the logits of the data's mean."""
        rows = self.work.rows()
        machine = self.implementation(self.work, rows)
        machine.load(start(rows, self.work.sizes[1:], cases.SEED).parameters)
        return machine

    def epoch(self):
        """Seconds of an epoch: the last of as many as it takes until the processor is awake."""
        machine, turn = self.machine, time.perf_counter()
        while True:
            began = time.perf_counter()
            machine.epoch()
            ended = time.perf_counter()
            if ended - turn >= AWAKE:
                return ended - began

    def gain(self, few_rows=False):
        try:
            case = getattr(cases, self.work.case)()
        except FileNotFoundError:
            return None
        if self.implementation.func.rule == "importance":
            return cases.measure(self.implementation, IMPLEMENTATIONS["core"], case), case.tolerance
        n_rows = case.n_slow_rows if few_rows else len(case.train)
        return cases.train(self.implementation, case, n_rows)[1], case.tolerance


def main(task):
    answers = Answers(**json.loads(task))
    questions = {"epoch": answers.epoch, "gain": answers.gain, "gain of few rows": partial(answers.gain, few_rows=True)}
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no answer
    for question in sys.stdin:
        print(json.dumps(questions[question.strip()]()), file=out, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
