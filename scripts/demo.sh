#!/bin/sh
# From nothing to a verified agent: makes one into a folder, asks it, logs it, verifies it.
# Usage: scripts/demo.sh FOLDER, with the path of uv in UV; `make demo` calls it so.
set -eu

template=$(cd "$(dirname "$0")/.." && pwd)
case $UV in
    /*) uv=$UV ;;
    *) uv=$template/$UV ;;
esac
folder=$1

step() {
    printf '\n\033[1m$ %s\033[0m\n' "$*"
    "$@"
}

if [ -e "$folder/.copier-answers.yml" ]; then
    printf '%s holds an agent already: going on with it.\n' "$folder"
elif [ -e "$folder" ] && [ -n "$(ls -A "$folder")" ]; then
    printf 'Error: %s is not empty. Name another folder: make demo FOLDER=…\n' "$folder" >&2
    exit 1
else
    printf '\n\033[1m$ copier copy %s %s\033[0m\n' "$template" "$folder"
    "$uv" run --quiet --frozen --isolated --only-group copier --project "$template" \
        copier copy --quiet --defaults --data project_name=weather-agent --vcs-ref HEAD \
        "$template" "$folder"
fi

cd "$folder"
[ -d .git ] || git init --quiet
# A virtual environment of the caller is not the agent's.
unset VIRTUAL_ENV
PATH=$(dirname "$uv"):$PATH

step uv sync --quiet
step uv run weather-agent ask 'What time is it in Tokyo?'
step uv run weather-agent log
step uv run weather-agent verify

cat <<END

The agent is in $(pwd). Next:

  cd $(pwd)
  uv run mlflow ui      its traces and models, on http://127.0.0.1:5000
  uv run pytest         its tests
  less README.md        the map of its files
END
if ! command -v uv >/dev/null 2>&1 || [ "$(command -v uv)" = "$template/.uv/bin/uv" ]; then
    printf '\nuv was fetched for this checkout only: `pip install uv` brings it to your shell.\n'
fi
