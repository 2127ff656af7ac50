#!/bin/sh
# release.sh VERSION: prove this commit and tag it, so that `copier update` finds it.
# Published tags are never moved: a release that went wrong is followed by the next one.
set -eu

version=${1:-}
make=${MAKE:-make}

refuse() {
    echo "Not released: $1" >&2
    exit 1
}

echo "$version" | grep -Eq '^[0-9]+\.[0-9]+\.[0-9]+$' ||
    refuse "give a version such as VERSION=1.2.3."
[ -z "$(git status --porcelain)" ] ||
    refuse "there are changes that are not committed."
grep -q "^## $version\$" CHANGELOG.md ||
    refuse "CHANGELOG.md has no entry '## $version'; tell those who update what it brings."
newest=$(git tag --list 'v*' | sed 's/^v//' | sort --version-sort | tail -n 1)
[ "$newest" != "$version" ] ||
    refuse "v$version is released already."
[ "$(printf '%s\n%s\n' "$newest" "$version" | sort --version-sort | tail -n 1)" = "$version" ] ||
    refuse "v$newest is newer."
# Among them are the updates of agents of every version that was released.
"$make" test ||
    refuse "the tests do not pass."
[ -z "$(git status --porcelain)" ] ||
    refuse "the tests left something behind."

git tag --annotate "v$version" --message "Release $version"
echo "Tagged v$version. Publish it: git push origin main v$version"
