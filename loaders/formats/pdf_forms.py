"""An open PDF file comes in; what was filled into the fields of its forms, page by page, goes out.

The text layer doesn't hold it: a form is printed with its questions, and its answers lie in the fields.
"""

import ctypes
from collections.abc import Callable
from typing import Any

OFF = {"", "Off"}  # an unticked box


def filled_fields(file: Any) -> dict[int, str]:
    """Return "field: value" lines by page number from 0, of the pages that have any."""
    from pypdfium2 import raw

    if file.get_formtype() == raw.FORMTYPE_NONE:
        return {}
    file.init_forms()
    found = {}
    for number, page in enumerate(file):
        lines = []
        for at in range(raw.FPDFPage_GetAnnotCount(page)):
            note = raw.FPDFPage_GetAnnot(page, at)
            if note and raw.FPDFAnnot_GetSubtype(note) == raw.FPDF_ANNOT_WIDGET:
                value = _chosen(file, note) or _string(raw.FPDFAnnot_GetFormFieldValue, file.formenv, note)
                if value not in OFF:
                    lines.append(f"{_string(raw.FPDFAnnot_GetFormFieldName, file.formenv, note)}: {value}")
            if note:
                raw.FPDFPage_CloseAnnot(note)
        if lines:
            found[number] = "\n".join(dict.fromkeys(lines))
        page.close()
    return found


def _chosen(file: Any, note: Any) -> str:
    """Return what a list shows as chosen; the field's value may be a code for it."""
    from pypdfium2 import raw

    if raw.FPDFAnnot_GetFormFieldType(file.formenv, note) not in (
        raw.FPDF_FORMFIELD_COMBOBOX,
        raw.FPDF_FORMFIELD_LISTBOX,
    ):
        return ""
    count = raw.FPDFAnnot_GetOptionCount(file.formenv, note)
    chosen = (at for at in range(count) if raw.FPDFAnnot_IsOptionSelected(file.formenv, note, at))
    return ", ".join(_string(raw.FPDFAnnot_GetOptionLabel, file.formenv, note, at) for at in chosen)


def _string(get: Callable[..., int], *of: Any) -> str:
    """Call a function of PDFium that gives UTF-16: first for the length in bytes, its closing zero included."""
    from pypdfium2 import raw

    size = get(*of, None, 0)
    if size <= 2:
        return ""
    buffer = ctypes.create_string_buffer(size)
    get(*of, ctypes.cast(buffer, ctypes.POINTER(raw.FPDF_WCHAR)), size)
    return buffer.raw[: size - 2].decode("utf-16-le", "replace").strip()
