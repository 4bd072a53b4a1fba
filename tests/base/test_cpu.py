"""What is read of the processor decides whether 8-bit networks run by themselves."""

import pytest

from facegeo.base import cpu


@pytest.mark.parametrize(
    ("machine", "text", "exact"),
    [
        ("x86_64", "model name\t: A\nflags\t\t: fpu avx2 avx512f\n", False),
        ("x86_64", "model name\t: A\nflags\t\t: fpu avx2 avx_vnni\n", True),
        ("x86_64", "flags\t\t: amx_int8\n", True),
        ("aarch64", "Features\t: fp asimd\n", True),
        ("AMD64", None, False),
        ("arm64", None, True),
    ],
)
def test_int8_is_exact_where_8_bit_products_are_summed_in_32_bits(
    monkeypatch, tmp_path, machine, text, exact
):
    path = tmp_path / "cpuinfo"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(cpu, "_CPU_INFO", path)
    monkeypatch.setattr(cpu.platform, "machine", lambda: machine)
    cpu.cpu_flags.cache_clear()
    try:
        assert cpu.runs_int8_exactly() is exact
        assert cpu.cpu_fact("model name") == ("A" if text and "model" in text else None)
    finally:
        cpu.cpu_flags.cache_clear()
