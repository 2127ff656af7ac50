#!/bin/sh
# Create an agent in a folder, commit it, then run `ask`, `log` and `verify`.
# Usage: UV=/path/to/uv scripts/demo.sh FOLDER (`make demo` calls it).
set -eu
# CDPATH changes what `cd` does, and a git hook sets variables that select its repository.
unset CDPATH $(git rev-parse --local-env-vars)

template=$(cd "$(dirname "$0")/.." && pwd)
case $UV in
    /*) uv=$UV ;;
    *) uv=$template/$UV ;;
esac
folder=$1
shift

step() {
    printf '\n\033[1m$ %s\033[0m\n' "$*"
    "$@"
}

if [ -e "$folder/.copier-answers.yml" ]; then
    printf '%s already contains an agent; using it.\n' "$folder"
elif [ -e "$folder" ] && [ -n "$(ls -A "$folder")" ]; then
    printf 'error: %s is not empty\nhint: choose another folder: make demo FOLDER=…\n' "$folder" >&2
    exit 1
else
    printf '\n\033[1m$ copier copy %s %s\033[0m\n' "$template" "$folder"
    "$uv" run --quiet --frozen --isolated --only-group copier --project "$template" \
        copier copy --quiet --defaults --data project_name=weather-agent --vcs-ref HEAD \
        "$template" "$folder"
fi

cd "$folder"
# The agent has its own virtual environment.
unset VIRTUAL_ENV
PATH=$(dirname "$uv"):$PATH

step uv sync --quiet
if [ ! -d .git ]; then
    step git init --quiet --initial-branch=main
    step git add --all
    # A fresh machine may have no author configured, and another no key to sign with.
    git var GIT_COMMITTER_IDENT > /dev/null 2>&1 ||
        set -- -c user.name=Demo -c user.email=demo@example.com
    step git "$@" commit --quiet --no-gpg-sign --message 'Create the agent'
fi
step uv run weather-agent ask 'What time is it in Tokyo?'
step uv run weather-agent log
step uv run weather-agent verify

cat <<END

The agent is in $(pwd). Next:

  cd "$(pwd)"
  uv run weather-agent serve    start the API and a chat page at http://127.0.0.1:8000
  uv run mlflow ui              show traces and models at http://127.0.0.1:5000
  uv run pytest                 run the tests
END
if ! command -v uv >/dev/null 2>&1 || [ "$(command -v uv)" = "$template/.uv/bin/uv" ]; then
    printf '\nuv is installed in this checkout only. To use it in your shell, run: pip install uv\n'
fi
