"""Steps, their loss and an optimiser come in; trained weights, within a time and at a falling rate, are left behind."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

Step = TypeVar("Step")
Progress = Callable[[int, int, float], None]  # steps done, steps in all, mean loss of late
WARM_UP = 20  # steps
TOLD = 20  # steps between two reports


def descend(
    optimiser: "torch.optim.Optimizer",
    steps: Sequence[Step],
    loss_of: "Callable[[Step], torch.Tensor]",
    *,
    seconds: float,
    on_progress: Progress,
) -> float:
    """Take the steps, or as many as the time allows, and return the mean loss at the end.

    The rate, which each group of parameters has under "rate", falls to 0 until then.
    """
    import torch

    began, recent = time.monotonic(), 0.0
    for done, step in enumerate(steps, 1):
        share = max((done - 1) / len(steps), (time.monotonic() - began) / seconds)
        if share >= 1:
            break
        for part in optimiser.param_groups:
            part["lr"] = part["rate"] * min(1.0, done / WARM_UP) * (1 - share)
        loss = loss_of(step)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([each for part in optimiser.param_groups for each in part["params"]], 1.0)
        optimiser.step()
        optimiser.zero_grad()
        recent += (float(loss.detach()) - recent) * max(0.01, 1 / done)
        if done % TOLD == 0 or done == len(steps):
            on_progress(done, len(steps), recent)
    return recent
