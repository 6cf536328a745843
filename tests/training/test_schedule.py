"""When the rate is lowered and when a training stops, by scripted validation losses."""

from builders import brief_fit, brief_options, script_validation


def test_early_stopping_waits_for_the_patience_and_lowers_the_rate(pbmc, monkeypatch):
    script_validation(monkeypatch, [100.0, 90.0])
    _, _, history = brief_fit(pbmc, validate_every=10, max_steps=600, patience=100, plateau=40)
    assert history["step"].iloc[-1] == 20 + 100
    # Lowered at 60 and at 100, where 40 steps passed without a better loss.
    rates = history.set_index("step")["learning_rate"]
    first = brief_options().first_rate
    assert rates[60] == first
    assert rates[70] == rates[100] == first / 2
    assert rates[110] == first / 4


def _steps_and_rates(pbmc, monkeypatch, losses, **changes):
    """(steps, rates as fractions of the first, why it stopped) of a training of these losses."""
    script_validation(monkeypatch, losses)
    _, fitted, history = brief_fit(pbmc, **{"validate_every": 10, "max_steps": 300} | changes)
    rates = history["learning_rate"] / brief_options().first_rate
    return history["step"].tolist(), rates.tolist(), fitted.stopped


def test_a_better_loss_starts_the_patience_anew(pbmc, monkeypatch):
    losses = [100.0, 99.0, 99.5, 99.0, 98.0]  # a loss that is as good is no better: best at 50
    steps, rates, stopped = _steps_and_rates(
        pbmc, monkeypatch, losses, patience=30, plateau=1000, kl_warmup_steps=0
    )
    assert (steps[-1], stopped) == (80, "patience")
    assert set(rates) == {1.0}


def test_a_loss_that_is_as_good_is_no_better(pbmc, monkeypatch):
    steps, _, stopped = _steps_and_rates(
        pbmc, monkeypatch, [90.0] * 9, patience=30, plateau=1000, kl_warmup_steps=0
    )
    assert (steps[-1], stopped) == (40, "patience")


def test_nothing_is_waited_for_before_the_kl_has_its_weight(pbmc, monkeypatch):
    steps, rates, stopped = _steps_and_rates(
        pbmc, monkeypatch, [90.0], patience=50, plateau=30, kl_warmup_steps=60
    )
    assert (steps[-1], stopped) == (110, "patience")
    # Rows tell the rate their steps were made with: lowered at 90, in force from there.
    assert rates == [1.0] * 9 + [0.5] * 2


def test_a_better_loss_puts_off_the_lower_rate_and_a_lowered_one_waits_as_long(pbmc, monkeypatch):
    losses = [100.0, 95.0, 96.0, 96.0, 94.0]  # better at 20, and at 50 just before it is lowered
    steps, rates, _ = _steps_and_rates(
        pbmc, monkeypatch, losses, patience=100, plateau=40, kl_warmup_steps=0
    )
    assert steps[-1] == 150
    lowered_at = [s for s, a, b in zip(steps, rates, rates[1:], strict=False) if b < a]
    assert lowered_at == [90, 130]


def test_the_last_step_is_validated_wherever_it_is(pbmc, monkeypatch):
    steps, _, stopped = _steps_and_rates(pbmc, monkeypatch, [], max_steps=34)
    assert (steps, stopped) == ([10, 20, 30, 34], "max_steps")
