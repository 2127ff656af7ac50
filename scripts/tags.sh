#!/bin/sh
# tags.sh: create the tags of the releases in releases.yml that this clone lacks.
# Name and date come from the released commit, so that every clone creates the same tags.
set -eu
# CDPATH changes what `cd` does, and a git hook sets variables that select its repository.
unset CDPATH $(git rev-parse --local-env-vars)
cd "$(dirname "$0")/.."

fail() {
    echo "error: $1" >&2
    echo "hint: $2" >&2
    exit 1
}

missing_history() {
    if [ "$(git rev-parse --is-shallow-repository)" = true ]; then
        echo 'run "git fetch --unshallow", then "make tags" again.'
    elif git remote | grep -q .; then
        echo 'run "git fetch", then "make tags" again.'
    else
        echo "this repository lacks the template's history; clone the template's repository."
    fi
}

[ -e .git ] ||
    fail "this folder is a copy without git, which has no tags." \
        "clone the template's repository with git, and run \"make tags\" there."
awk '$2 == "version:" {version = $3} $1 == "commit:" {print version, $2}' releases.yml |
    while read -r tag commit; do
        git cat-file -e "$commit^{commit}" 2> /dev/null ||
            fail "this clone does not contain $commit, the commit of $tag." "$(missing_history)"
        tagged=$(git rev-parse --quiet --verify "refs/tags/$tag^{commit}" || true)
        if [ -z "$tagged" ]; then
            GIT_COMMITTER_NAME=$(git log -1 --format=%cn "$commit") \
                GIT_COMMITTER_EMAIL=$(git log -1 --format=%ce "$commit") \
                GIT_COMMITTER_DATE=$(git log -1 --format=%cI "$commit") \
                git tag --annotate --no-sign --message "Release ${tag#v}" "$tag" "$commit"
            echo "Created $tag"
        elif [ "$tagged" != "$commit" ]; then
            fail "the tag $tag points to $tagged, but releases.yml names $commit." \
                "released tags never move; find out which one is right before you delete the other."
        fi
    done
