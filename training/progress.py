"""A training under way comes in; how far it is, when its time is over, and where it goes on, go out."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Progress = Callable[[int, int, float, float], None]  # updates done, in all, loss of late, seconds left


def listener(seconds: float, on_progress: Progress) -> Any:
    """Return the callback of a Trainer that tells of progress, and ends the training after so many seconds.

    Its `seconds` are those that the training took.
    """
    from transformers import TrainerCallback

    class Listener(TrainerCallback):
        seconds = 0.0

        def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            self.began, self.first = time.monotonic(), state.global_step

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
            if "loss" in (logs or {}):
                pace = (time.monotonic() - self.began) / max(1, state.global_step - self.first)
                left = (state.max_steps - state.global_step) * pace
                on_progress(state.global_step, state.max_steps, float(logs["loss"]), left)

        def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            self.seconds = time.monotonic() - self.began
            if self.seconds > seconds:
                control.should_training_stop = control.should_save = True
                control.should_evaluate = args.eval_strategy != "no"

    return Listener()


def last_checkpoint(folder: Path) -> str | None:
    """Return the path of a Trainer's last whole checkpoint: one cut off while it was written lacks its state."""
    whole = [state.parent for state in folder.glob("checkpoint-*/trainer_state.json")]
    last = max(whole, key=lambda checkpoint: int(checkpoint.name.partition("-")[2]), default=None)
    return str(last) if last else None
