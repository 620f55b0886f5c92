"""The time of an emulated guest, whose kernel may have measured the counter of its processor wrongly.

Linux measures the TSC against the PIT when it starts. Where the host does not run the emulated processor just then, the
result is wrong: a guest was seen whose time passed 3.5 times as fast as the host's, so every deadline in it was too
short. Linux measures again a second later, against the HPET and with a check for such gaps, but keeps the first value
where the two differ by more than 1 % (`tsc_refine_calibration_work` in arch/x86/kernel/tsc.c), silently.
"""

from __future__ import annotations

#: Reads the time from the HPET instead, whose rate is known, and takes the time of the RTC, which is the host's.
CLOCKSOURCE = """\
#!/bin/sh
clock=/sys/devices/system/clocksource/clocksource0/current_clocksource
left=120
while read -r now < "$clock"; do
    case $now in tsc-early | jiffies | refined-jiffies) ;; *) break ;; esac
    [ "$left" -gt 0 ] || break
    left=$((left - 1))
    sleep 1
done
[ "$now" = tsc ] || exit 0
dmesg | grep -q 'Refined TSC clocksource calibration' && exit 0
echo hpet > "$clock" || exit
read -r seconds < /sys/class/rtc/rtc0/since_epoch && date --set "@$seconds"
"""

#: Nothing waits for it. With KVM, guests have KVM's clock, or a TSC whose rate the host tells them.
_UNIT = """\
[Unit]
Description=Leave a processor counter that was measured wrongly
ConditionVirtualization=qemu
ConditionArchitecture=x86-64
DefaultDependencies=no

[Service]
ExecStart=/usr/local/sbin/iecpod-clocksource

[Install]
WantedBy=sysinit.target
"""

CLOCK_HOOK = f"""
set -eu
cat > "$1/usr/local/sbin/iecpod-clocksource" <<'END'
{CLOCKSOURCE}END
chmod 755 "$1/usr/local/sbin/iecpod-clocksource"
cat > "$1/etc/systemd/system/iecpod-clocksource.service" <<'END'
{_UNIT}END
chroot "$1" systemctl --quiet enable iecpod-clocksource.service
"""
