"""A model and a way to train it come in; the same model with only that way's weights trainable goes out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from errors import ModelError, one_line
from training.activations import Run
from training.base import dtype_of, without_peft_warning

if TYPE_CHECKING:
    import torch


def prepare(
    model: Any, run: Run, *, alpha: float | None = None, dropout: float = 0.0, prompt: Sequence[int] = ()
) -> Any:
    """Freeze a causal language model and add what `run.method` trains: a peft model, but for full.

    Full keeps the model's fp32 weights, which autocast reads in bf16 or fp16; frozen weights are held in run.precision
    (QLoRA's matrices in NF4 with double quantisation, on the CPU too), and what is added in fp32. alpha: LoRA's factor
    is alpha / rank, alpha 2 × rank where none is named; dropout: of LoRA's inputs. prompt: the tokens that the vectors
    of prompt tuning start from, repeated or cut; words drawn by chance where there are none. Raise ModelError for what
    bitsandbytes or peft can't do: prefix tuning with checkpointing, matrices that the model does not have.
    """
    import peft

    if run.method == "full":
        model = model.float()
    else:
        dtype = dtype_of(run.precision)
        model = model.to(dtype)
        if run.method == "qlora":
            _quantise(model, dtype)
        try:
            with without_peft_warning():
                model = peft.get_peft_model(model, _config(run, 2.0 * run.rank if alpha is None else alpha, dropout))
        except ValueError as error:
            raise ModelError(run.method, one_line(error), "Name other --targets") from None
        if run.method == "prompt" and prompt:
            _start_prompt(model, prompt)
    if run.checkpointing:
        if run.method == "prefix":
            raise ModelError("prefix", "peft does not train it with checkpointing", "Leave --checkpointing out")
        model.activation_checkpointing_enable({"use_reentrant": False})
    return model.train()


def _config(run: Run, alpha: float, dropout: float) -> Any:
    import peft

    if run.method in ("lora", "qlora"):
        scale: Any = alpha  # peft says int, and divides
        names = [f"{name}_proj" for name in run.targets]
        return peft.LoraConfig(
            r=run.rank, lora_alpha=scale, lora_dropout=dropout, target_modules=names, task_type="CAUSAL_LM"
        )
    if run.method == "ia3":
        return peft.IA3Config(task_type="CAUSAL_LM")
    given: Any = {"num_virtual_tokens": run.virtual_tokens, "task_type": "CAUSAL_LM"}
    if run.method == "prompt":  # Lester et al. 2021, section 3.2: words do better than noise
        return peft.PromptTuningConfig(prompt_tuning_init="SAMPLE_VOCAB", **given)
    return peft.PromptEncoderConfig(**given) if run.method == "p-tuning" else peft.PrefixTuningConfig(**given)


def _quantise(model: Any, dtype: "torch.dtype") -> None:
    """Put the matrices of all layers into NF4 where they lie; embedding and output stay (Dettmers et al. 2023)."""
    import torch

    try:
        import bitsandbytes
    except ImportError as error:
        reason = f"it needs bitsandbytes ({one_line(error)})"
        raise ModelError("qlora", reason, "Install the extra training, or train with lora") from None
    four_bit: Any = bitsandbytes.nn
    for parent in [part for part in model.modules() if part is not model]:  # all but the output
        for name, linear in list(parent.named_children()):
            if type(linear) is torch.nn.Linear:
                packed = four_bit.Linear4bit(
                    linear.in_features,
                    linear.out_features,
                    bias=linear.bias is not None,
                    compute_dtype=dtype,
                    quant_type="nf4",
                    device="meta",
                )
                packed.weight = four_bit.Params4bit(linear.weight.data, requires_grad=False, quant_type="nf4")
                packed.bias = linear.bias
                setattr(parent, name, packed.to(linear.weight.device))
    model.is_loaded_in_4bit = True  # peft asks for it


def _start_prompt(model: Any, tokens: Sequence[int]) -> None:
    """Start from a text's word vectors; peft would load the tokenizer anew, and write its path into the adapter."""
    import torch

    vectors = model.prompt_encoder["default"].embedding.weight
    ids = torch.tensor([tokens[at % len(tokens)] for at in range(len(vectors))], device=vectors.device)
    with torch.no_grad():
        vectors.copy_(model.get_input_embeddings()(ids))
