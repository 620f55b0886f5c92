#!/usr/bin/env bash
# Makes this machine ready for iecpod, then runs the command that follows:
#
#     sudo ./bootstrap.sh iecpod deploy -l local -p virtual1
#     sudo ./bootstrap.sh tox
#
# Installs missing packages with apt (Debian 12 and 13, Ubuntu 24.04 and later), makes a virtual environment with iecpod
# in it, and does nothing that is done already. Starts no service and needs no systemd. Root is needed for missing
# packages only.
#
#     IECPOD_VENV     the virtual environment (default: .venv beside this script)
#     IECPOD_PYTHON   the Python it is made with (default: /usr/bin/python3, the one apt's headers are for)
set -euo pipefail
# What root runs from the virtual environment, nobody else may change.
umask 022

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
venv=${IECPOD_VENV:-$root/.venv}
python=${IECPOD_PYTHON:-/usr/bin/python3}
stamp=$venv/.bootstrapped
policy=/usr/sbin/policy-rc.d
kept_policy=$policy.before-iecpod
backports=/etc/apt/sources.list.d/iecpod-backports.sources

packages=(
    # the hypervisor, for guests of both architectures; clients; what the Python binding is compiled with
    libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients libvirt-dev
    qemu-system-x86 qemu-system-arm qemu-utils ovmf qemu-efi-aarch64
    # networks, namespaces, the way to the guests
    dnsmasq-base iptables iproute2 util-linux mount procps openssh-client
    # base images from packages, for both architectures
    mmdebstrap debian-archive-keyring mtools dosfstools e2fsprogs fdisk
    qemu-user-static binfmt-support arch-test
    # Kubernetes, from Go modules or from Debian's source package
    dpkg-dev make patch tar rsync gcc libc6-dev
    # signatures of images
    gpgv
    # archives of images that are compressed with it
    zstd
    # iecpod itself
    pkg-config python3 python3-dev python3-venv ca-certificates
)
# runc has C parts: programs for the other architecture take a C compiler for it.
case $(uname -m) in
    x86_64) packages+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross) ;;
    aarch64) packages+=(gcc-x86-64-linux-gnu libc6-dev-amd64-cross) ;;
esac
if [[ -d /run/systemd/system ]]; then
    packages+=(libvirt-daemon-system) # qemu:///system; without systemd nothing would run it
fi

if [[ ${1-} == tox ]]; then
    packages+=(gnupg) # tests sign repositories of their own
fi

say() { printf 'bootstrap: %s\n' "$*" >&2; }

fail() {
    printf 'bootstrap: error: %s\n' "$1" >&2
    printf 'bootstrap: remedy: %s\n' "$2" >&2
    exit 1
}

missing_packages() {
    local installed package
    installed=" $(dpkg-query --show --showformat='${db:Status-Abbrev}${Package} ' "${packages[@]}" 2>/dev/null || true)"
    for package in "${packages[@]}"; do
        [[ $installed == *" ii $package "* || $installed == *" hi $package "* ]] || printf '%s\n' "$package"
    done
    missing_drivers
}

# In Debian 13 and later, each of libvirt's drivers is a package of its own; before, libvirt-daemon has them.
missing_drivers() {
    local driver
    for driver in network storage; do
        compgen -G "/usr/lib/*/libvirt/connection-driver/libvirt_driver_$driver.so" >/dev/null ||
            ! apt-cache show "libvirt-daemon-driver-$driver" >/dev/null 2>&1 ||
            printf '%s\n' "libvirt-daemon-driver-$driver"
    done
}

# Package scripts ask policy-rc.d before they start or restart a service: for as long as apt runs, the answer is no.
forbid_services() {
    if [[ ! -e $kept_policy && ! -L $kept_policy && (-e $policy || -L $policy) ]]; then
        mv -- "$policy" "$kept_policy"
    fi
    trap allow_services EXIT
    printf '#!/bin/sh\n# iecpod bootstrap\nexit 101\n' >"$policy"
    chmod 755 "$policy"
}

allow_services() {
    if [[ -e $kept_policy || -L $kept_policy ]]; then
        mv -f -- "$kept_policy" "$policy"
    elif grep -qs '^# iecpod bootstrap$' "$policy"; then
        rm -f -- "$policy"
    fi
    trap - EXIT
}

apt() {
    DEBIAN_FRONTEND=noninteractive quietly apt-get --quiet --yes --no-install-recommends \
        -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold "$@"
}

# QEMU 10 emulates guests a tenth faster than the QEMU 7.2 of Debian 12, which has it in its backports. apt takes nothing
# else from there, and fetches security updates from where a package came: so the source stays. A QEMU that is installed
# already is left as it is.
add_backports() {
    local codename mirror
    codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    [[ $codename == bookworm ]] && is_without_qemu || return 0
    [[ -z $(index_targets SITE "$codename-backports") ]] || return 0
    mirror=$(index_targets REPO_URI "$codename")
    [[ -n $mirror ]] || return 0
    say "adding the backports of Debian 12, for QEMU: $backports"
    printf '%s\n' 'Types: deb' "URIs: $mirror" "Suites: $codename-backports" 'Components: main' \
        'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg' >"$backports"
    apt update -o APT::Update::Error-Mode=any -o APT::Get::List-Cleanup=0 \
        -o Dir::Etc::SourceList="$backports" -o Dir::Etc::SourceParts=- && return
    say "they could not be fetched: QEMU is that of Debian 12"
    rm -f -- "$backports"
}

# All its packages are of one version, so one that is installed decides.
is_without_qemu() {
    [[ $(dpkg-query --show --showformat='${db:Status-Abbrev}' qemu-system-common 2>/dev/null) != ?i* ]]
}

# A field, by its name in apt-get(8), of the first index of a release's packages that apt is configured with.
index_targets() {
    apt-get indextargets --format "\$($1)" 'Created-By: Packages' "Codename: $2" 'Component: main' 2>/dev/null | sed -n 1p
}

# The same packages, QEMU and what it needs of its own version from backports, where apt has their index.
with_backports() {
    local release=/bookworm-backports package
    is_without_qemu && [[ $(apt-cache madison qemu-system-x86 2>/dev/null) == *" ${release#/}/main "* ]] || release=
    for package in $1; do
        case $package in
            qemu-system-* | qemu-utils) printf '%s\n' "$package$release" ;;
            *) printf '%s\n' "$package" ;;
        esac
    done
    [[ -z $release ]] || printf "%s$release\n" qemu-system-common qemu-system-data seabios
}

# Runs a command and shows what it printed only where it fails.
quietly() {
    local output
    output=$("$@" 2>&1 </dev/null) && return
    printf '%s\n' "$output" | tail -n 40 >&2
    return 1
}

install_packages() {
    local missing wanted
    mapfile -t missing < <(missing_packages)
    ((${#missing[@]} == 0)) && return
    command -v apt-get >/dev/null ||
        fail "this system has no apt-get" \
            "use Debian 12 or 13, or Ubuntu 24.04 or later, or install yourself: ${missing[*]}"
    ((EUID == 0)) ||
        fail "packages are missing, and only root can install them: ${missing[*]}" \
            "$(command -v sudo >/dev/null && echo "run: sudo $0 $*" || echo "run as root: $0 $*")"
    say "fetching the package lists"
    apt update -o APT::Update::Error-Mode=any || say "some package lists could not be fetched; going on with the others"
    mapfile -t missing < <(missing_packages) # some are known by these lists only
    add_backports
    mapfile -t wanted < <(with_backports "${missing[*]}")
    say "installing ${#missing[@]} packages: ${wanted[*]}"
    forbid_services
    apt install -- "${wanted[@]}" || apt install -- "${missing[@]}" ||
        fail "apt-get could not install all of: ${missing[*]}" \
            "see its messages above; on Ubuntu the component universe must be enabled"
    allow_services
}

# Trees of another architecture are built by its own programs, which the kernel hands to QEMU. systemd registers QEMU at
# boot; where it does not run, nobody does.
register_emulators() {
    local misc=/proc/sys/fs/binfmt_misc foreign
    [[ $(uname -m) == aarch64 ]] && foreign=qemu-x86_64 || foreign=qemu-aarch64
    [[ -e $misc/$foreign ]] && return
    [[ -e $misc/status ]] || mount -t binfmt_misc binfmt_misc "$misc" 2>/dev/null ||
        { say "this kernel has no binfmt_misc: images of another architecture cannot be built here" && return; }
    quietly update-binfmts --enable "$foreign" || say "$foreign could not be registered: see update-binfmts --display"
}

check_python() {
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
        fail "$python is not Python 3.10 or later" "name one in IECPOD_PYTHON (it needs its headers and venv)"
}

# Changes with all that decides what is in the environment.
wanted_stamp() {
    {
        cat -- "$root/setup.cfg" "$root/pyproject.toml" "$root"/requirements/*.lock "${BASH_SOURCE[0]}"
        printf '%s\n' "$root" "$("$python" -VV)"
    } | sha256sum
}

is_ready() { [[ -f $stamp && $(<"$stamp") == "$1" && -x $venv/bin/iecpod ]]; }

# Nothing is run that the lock files have no digest of. libvirt-python is compiled against this machine's libvirt, with
# the locked setuptools; the rest has wheels.
install_locked() {
    local pip=("$venv/bin/python" -m pip --disable-pip-version-check install)
    quietly "${pip[@]}" --require-hashes --only-binary :all: --requirement "$root/requirements/build.lock" &&
        quietly "${pip[@]}" --require-hashes --only-binary :all: --no-binary libvirt-python --no-build-isolation \
            --requirement "$root/requirements/iecpod.lock" &&
        quietly "${pip[@]}" --no-deps --no-build-isolation --editable "$root"
}

install_iecpod() {
    local wanted
    wanted=$(wanted_stamp)
    is_ready "$wanted" && return
    exec 9<"$root"
    flock 9
    if ! is_ready "$wanted"; then
        say "making the virtual environment $venv"
        rm -f -- "$stamp"
        quietly "$python" -m venv --clear "$venv" ||
            fail "the virtual environment $venv could not be made" "run as its owner, or choose another in IECPOD_VENV"
        say "installing iecpod and tox into it"
        install_locked ||
            fail "pip could not install iecpod" "see its messages above; it must reach PyPI or a mirror of it"
        quietly "$venv/bin/python" -c 'import libvirt' ||
            fail "Python's libvirt module does not load" "remove $venv and run this again"
        printf '%s\n' "$wanted" >"$stamp"
        say "ready"
    fi
    exec 9<&-
}

# A run that was killed may have left its policy behind.
((EUID == 0)) && [[ -e $kept_policy || -L $kept_policy ]] && allow_services
install_packages "$@"
((EUID == 0)) && register_emulators
check_python
install_iecpod
(($# == 0)) && exit 0
export PATH="$venv/bin:$PATH"
exec "$@"
