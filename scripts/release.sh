#!/bin/sh
# release.sh VERSION: test the last commit, record it in releases.yml and tag it.
# A commit cannot contain its own hash: the commit that follows the released one records it.
# Tags never move: fix a faulty release with the next one.
set -eu
# CDPATH changes what `cd` does, and a git hook sets variables that select its repository.
unset CDPATH $(git rev-parse --local-env-vars)
cd "$(dirname "$0")/.."

version=${1:-}
make=${MAKE:-make}

refuse() {
    echo "error: not released: $1" >&2
    exit 1
}

echo "$version" | grep -Eq '^[0-9]+\.[0-9]+\.[0-9]+$' ||
    refuse "give a version, such as VERSION=1.2.3."
[ -z "$(git status --porcelain)" ] ||
    refuse "there are uncommitted changes."
grep -q "^## $version\$" CHANGELOG.md ||
    refuse "CHANGELOG.md has no entry '## $version'. Write what changes for those who update."
scripts/tags.sh ||
    refuse "the tags do not match releases.yml."
released=$(
    {
        sed -n 's/^- version: v//p' releases.yml
        git tag --list 'v*' | sed 's/^v//'
    } | sort --version-sort --unique
)
newest=$(echo "$released" | tail -n 1)
echo "$released" | grep -Fqx "$version" &&
    refuse "v$version is already released."
[ "$(printf '%s\n%s\n' "$newest" "$version" | sort --version-sort | tail -n 1)" = "$version" ] ||
    refuse "v$newest is newer."
"$make" test proof ||
    refuse "the tests fail."
[ -z "$(git status --porcelain)" ] ||
    refuse "the tests left files behind, or changed some."

commit=$(git rev-parse HEAD)
cat >> releases.yml << EOF
- version: v$version
  commit: $commit
  date: $(git log -1 --format=%cs)
EOF
git commit --quiet --message "Record release $version" -- releases.yml
scripts/tags.sh
echo "Released v$version at $commit. Publish it: git push origin main v$version"
