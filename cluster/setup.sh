#!/bin/bash
# What a machine of one's own gets before Ray starts there: ~/tune-mnist/.venv, with the locked packages. onprem.yaml has
# it run. `tune-mnist` reads in ~/tune-mnist/setup.log how far it is, whose last line tells a failure, and ends it.
set -u
cd ~/tune-mnist || exit 1
# An environment that is there is used as it is, unless it is one of ours that was interrupted half-way.
if [ -x .venv/bin/ray ] && [ ! -e .venv/unfinished ]; then
    exit 0
fi

make_environment() {
    python3 -c 'import ensurepip, venv' || return
    mkdir -p .venv && touch .venv/unfinished && python3 -m venv .venv || return
    PYTHONUNBUFFERED=1 .venv/bin/pip install --disable-pip-version-check --require-hashes -r requirements.txt || return
    rm .venv/unfinished
}

make_environment 2>&1 | tee setup.log
if [ "${PIPESTATUS[0]}" != 0 ]; then
    echo 'set-up failed' | tee -a setup.log
    exit 1
fi
