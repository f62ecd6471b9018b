"""Trains in one process or several, and writes down what each of them saw; see test_distributed.

Options, as JSON: those of `dancing.training.train.train`; 'folder' for what is written; 'stop', the
number of steps after which to stop.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

import dancing.training.fit as fitting
from dancing.family import family
from dancing.training.train import train


def main(options, change=setattr):
    # Where processors multiply in bfloat16, nothing would be equal.
    change(fitting, "_precision", lambda device: "32-true")
    folder, stop = Path(options.pop("folder")), options.pop("stop", None)
    learning = family(options["stage"], options["model"]).training
    chosen, losses = [], []

    class Recorded(learning.Training):
        def on_train_batch_start(self, batch, step):
            super().on_train_batch_start(batch, step)
            seen = batch["chosen"] if "chosen" in batch else next(iter(batch.values()))
            chosen.append(seen.numpy().copy())
            if len(chosen) == stop:
                self.trainer.should_stop = True

        def on_train_batch_end(self, *_):
            self.trainer._logger_connector.update_train_step_metrics()
            losses.append([float(v) for _, v in sorted(self.trainer.logged_metrics.items())])

        def on_fit_end(self):
            widths = [len(row) for row in chosen]
            np.savez(
                folder / f"rank{self.global_rank}.npz",
                chosen=np.concatenate(chosen),
                widths=widths,
                losses=np.array([row[:2] for row in losses]),
                **{f"weight {name}": value for name, value in self.state_dict().items()},
            )

    change(learning, "Training", Recorded)
    folder.mkdir(parents=True, exist_ok=True)
    train(run=folder / "run", device="cpu", hold_out=False, **options)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(json.loads(sys.argv[1]))
