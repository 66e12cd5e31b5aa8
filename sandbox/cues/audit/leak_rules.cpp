// The rules of leaks. Sources: the catalogue of cues (docs/cues.md) and what common detectors look
// at (systemd's virt.c, virt-what, is-docker, is-inside-container, facter, ohai, deepce, VMAware).
#include "sandbox/cues/audit/leak.h"

namespace gyges::cues {
namespace {

using Test = LeakRule::Test;
constexpr auto present = Test::present;
constexpr auto equals = Test::equals;
constexpr auto differs = Test::differs;
constexpr auto contains = Test::contains;
constexpr auto one_of = Test::one_of;
constexpr auto above = Test::above;
constexpr auto below = Test::below;
constexpr auto error = Test::error;

constexpr Speaks vm = Speaks::vm;
constexpr Speaks container = Speaks::container;
constexpr Speaks sandbox = Speaks::sandbox;
constexpr Speaks recorder = Speaks::recorder;
constexpr Speaks evaluation = Speaks::evaluation;

constexpr Severity low = Severity::low;
constexpr Severity medium = Severity::medium;
constexpr Severity high = Severity::high;
constexpr Severity critical = Severity::critical;

const char launcher[] = "clean launch: start with an empty environment";
const char own_root[] = "a root file system of its own";
const char own_init[] = "own pid 1 with name and arguments of the persona";
const char user_map[] = "full range of ids (run as root), or emulation of the map";
const char emulate[] = "notify emulation";
const char privileged[] = "filter loaded with CAP_SYS_ADMIN (run as root)";
const char overmount[] = "generated file mounted over it";
const char machine[] = "a virtual machine of one's own";
const char nothing[] = "nothing known";
const char content[] = "content of the persona";
const char network[] = "interface, route and gateway of the persona";
const char tracer[] = "recorder backend ebpf instead of ptrace";

const LeakRule rules[] = {
    // Names of what should not be known.
    {"*", one_of, "gyges", sandbox, critical, "names Gyges", own_root},
    {"P16.fd.*", contains, "/memfd:", sandbox, high, "an inherited file without a name",
     "close it"},
    {"P16.fd.[3-9]*", present, "", sandbox, medium, "an inherited descriptor", "close it"},
    {"P1.init.program", contains, "memfd", sandbox, critical, "pid 1 runs from memory", own_init},
    {"P1.init.program", one_of,
     "bwrap firejail runsc nsjail tini dumb-init catatonit docker-init conmon", container, high,
     "pid 1 is a launcher", own_init},
    {"P1.init.name", one_of,
     "bwrap firejail runsc nsjail tini dumb-init catatonit docker-init conmon process_api envd "
     "unshare sleep",
     container, high, "pid 1 is a launcher", own_init},
    {"P1.init.name", equals, "init", container, low, "pid 1 is not systemd", own_init},
    {"P1.init.name", one_of, "sh bash python node tail", container, medium,
     "pid 1 is a program of users", own_init},
    {"P1.init.arguments", one_of,
     "--unshare --ro-bind bwrap firejail --private runsc nsjail sandbox", sandbox, critical,
     "arguments of pid 1 show the sandbox's policy", own_init},
    {"P13.parent.*.program", contains, "/memfd:", sandbox, high, "an ancestor runs from memory",
     own_init},
    {"P13.parent.*.arguments", one_of, "bwrap firejail runsc nsjail inspect_ai", sandbox, critical,
     "arguments of an ancestor show the launcher", own_init},
    {"P4.processes.names", one_of, "strace ltrace bpftrace auditbeat falco sysdig tetragon tracee",
     recorder, critical, "a monitor is visible", "recorder outside the pid namespace"},
    // Environment.
    {"E*.*env.IS_SANDBOX", present, "", sandbox, critical, "a flag of a sandbox", launcher},
    {"E*.*env.SANDBOX*", present, "", sandbox, critical, "a flag of a sandbox", launcher},
    {"E*.*env.E2B_*", present, "", sandbox, critical, "a flag of a sandbox", launcher},
    {"E*.*env.MODAL_*", present, "", sandbox, critical, "a flag of a sandbox", launcher},
    {"E*.*env.DAYTONA_*", present, "", sandbox, critical, "a flag of a sandbox", launcher},
    {"E*.*env.container", present, "", container, high, "set by container managers", launcher},
    {"E*.*env.KUBERNETES_*", present, "", container, high, "set in pods", launcher},
    {"E*.*env.CLAUDECODE", present, "", evaluation, high, "set by an agent's harness", launcher},
    {"E*.*env.CODEX_*", present, "", evaluation, high, "set by an agent's harness", launcher},
    {"E*.*env.AI_AGENT", present, "", evaluation, high, "set by an agent's harness", launcher},
    {"E*.*env.GEMINI_CLI*", present, "", evaluation, high, "set by an agent's harness", launcher},
    {"E*.*env.CURSOR_*", present, "", evaluation, high, "set by an agent's harness", launcher},
    {"E*.*env.OPENCODE*", present, "", evaluation, high, "set by an agent's harness", launcher},
    {"E*.*env.INSPECT_*", present, "", evaluation, critical, "set by an evaluation's harness",
     launcher},
    {"E*.*env.EVAL*", present, "", evaluation, high, "set by an evaluation's harness", launcher},
    {"E*.*env.LD_PRELOAD", present, "", recorder, high, "a library is put before every other",
     "no preload"},
    {"E*.*env.FAKETIME*", present, "", sandbox, critical, "the clock is a fake", "no preload"},
    {"E*.*env.HTTP_PROXY", present, "", recorder, medium, "traffic goes through a proxy",
     "transparent redirect"},
    {"E*.*env.HTTPS_PROXY", present, "", recorder, medium, "traffic goes through a proxy",
     "transparent redirect"},
    {"E*.*env.http*_proxy", present, "", recorder, medium, "traffic goes through a proxy",
     "transparent redirect"},
    {"E*.*env.*CA_BUNDLE", present, "", recorder, medium,
     "an authority of its own: traffic may be read", "authority in the trust store"},
    {"E*.*env.SSL_CERT_FILE", present, "", recorder, medium,
     "an authority of its own: traffic may be read", "authority in the trust store"},
    {"E*.*env.NODE_EXTRA_CA_CERTS", present, "", recorder, medium,
     "an authority of its own: traffic may be read", "authority in the trust store"},
    {"E5.preload", present, "", recorder, high, "a library is put before every other",
     "no preload"},
    {"E2.init_env.access", equals, "variables", sandbox, low,
     "the environment of pid 1 can be read", own_init},
    // Processes, identity.
    {"P4.processes.highest_pid", below, "300", sandbox, medium, "numbers of processes are small",
     "next pid chosen (cues.pids)"},
    {"P4.processes.kernel_threads", equals, "0", container, medium, "no kernel threads",
     "decoys; their flags stay wrong"},
    {"P4.processes.visible", below, "12", container, medium, "hardly any processes",
     "decoy processes"},
    {"P4.processes.spread_of_starts_s", below, "600", container, low, "all processes are young",
     "decoy processes with shifted start"},
    {"P6.tracer", differs, "0", recorder, critical, "a tracer", tracer},
    {"P6.trace_me", equals, "EPERM", recorder, high, "traced, or tracing is refused", tracer},
    {"P7.seccomp", equals, "2", container, medium, "a system call filter", emulate},
    {"P7.prctl.seccomp", equals, "2", container, medium, "a system call filter", emulate},
    {"P1.init.seccomp", equals, "2", container, low, "pid 1 has a system call filter", emulate},
    {"P8.no_new_privs", equals, "1", sandbox, medium, "privileges cannot be gained", privileged},
    {"P7.prctl.no_new_privs", equals, "1", sandbox, medium, "privileges cannot be gained",
     privileged},
    {"P10.uid_map", Test::unlike, "0", sandbox, medium, "ids are mapped one by one", user_map},
    {"P10.uid_map", differs, "0          0 4294967295", container, medium, "a user namespace",
     user_map},
    {"P10.setgroups", equals, "deny", sandbox, high, "a user namespace made without privileges",
     user_map},
    {"P11.owner.*", equals, "65534:65534", sandbox, high, "files of nobody: ids are not mapped",
     user_map},
    {"P12.namespace.user", equals, "child", container, medium, "not the first user namespace",
     emulate},
    {"P12.namespace.pid", equals, "child", container, medium, "not the first pid namespace",
     emulate},
    {"P12.namespace.uts", equals, "child", container, medium, "not the first UTS namespace",
     emulate},
    {"P12.namespace.ipc", equals, "child", container, medium, "not the first IPC namespace",
     emulate},
    {"P12.namespace.cgroup", equals, "child", container, low, "not the first cgroup namespace",
     emulate},
    {"P12.namespace.time", equals, "child", sandbox, medium, "a time namespace", emulate},
    {"P2.ids.*_visible", equals, "no", sandbox, low, "parent, group or session is outside",
     "setsid inside"},
    {"P14.loginuid", equals, "4294967295", container, low, "nobody logged in", content},
    // Files.
    {"F1.marker.systemd_container", present, "", container, critical, "container marker", own_root},
    {"F1.marker.docker*", present, "", container, critical, "container marker", own_root},
    {"F1.marker.containerenv", present, "", container, critical, "container marker", own_root},
    {"F1.marker.host_*", present, "", container, high, "container marker", own_root},
    {"F1.marker.lx*", present, "", container, high, "container marker", own_root},
    {"F1.marker.kubernetes", present, "", container, high, "container marker", own_root},
    {"F1.marker.singularity", present, "", container, high, "container marker", own_root},
    {"F1.marker.openvz", present, "", container, high, "container marker", own_root},
    {"F1.marker.xen", present, "", vm, high, "marker of a hypervisor", own_root},
    {"F1.marker.cloud_*", present, "", vm, low, "set up by a cloud", own_root},
    {"F1.marker.[feglmnostv]*", present, "", sandbox, high,
     "marker of a sandbox or development service", own_root},
    {"F12.harness.*", present, "", evaluation, high, "file of an evaluation's harness",
     "keep harness files out of the view"},
    {"F3.system.root", contains, "type=794c7630", container, high, "the root is an overlay",
     "root from an image, or emulation of statfs"},
    {"F3.system.root", contains, "type=1021994", sandbox, high, "the root lives in memory",
     "root from an image, or emulation of statfs"},
    {"F2.mount./", contains, " overlay ", container, high, "the root is an overlay",
     "mountinfo of the persona"},
    {"F2.mount./", contains, "system=overlay", container, high, "the root is an overlay",
     "mountinfo of the persona"},
    {"F2.mount./", contains, "system=tmpfs", sandbox, high, "the root lives in memory",
     "mountinfo of the persona"},
    {"F2.mount.*", contains, "/newroot", sandbox, critical, "left by a launcher",
     "mountinfo of the persona"},
    {"F2.mount.*", contains, "lxcfs", container, high, "files of a container manager",
     "mountinfo of the persona"},
    {"F2.mount./proc/*", present, "", container, high, "single files of procfs are mounted over",
     "mountinfo of the persona"},
    {"F2.mount./usr*", contains, "options=ro", sandbox, low, "programs are mounted read-only",
     "mountinfo of the persona"},
    {"F4.disguise.*", contains, "foreign device", sandbox, medium, "a file of procfs is none",
     "notify emulation of its opening"},
    {"F4.disguise.*", contains, "size=1", sandbox, low, "a file of procfs has a size",
     "notify emulation of its opening"},
    {"F17.dev.count", below, "40", container, medium, "hardly any devices",
     "devices of the persona"},
    {"F6.spread.root", below, "3", sandbox, low, "the root was made in one go", content},
    {"F6.spread.etc", below, "5", sandbox, low, "/etc was made in one go", content},
    {"F8.home.names.count", below, "4", sandbox, low, "an empty home", content},
    {"F8.home.bash_history", error, "ENOENT", sandbox, low, "no command history", content},
    {"F9.log.names.count", below, "6", container, low, "hardly any logs", content},
    {"F9.log.wtmp", error, "ENOENT", container, low, "no record of logins", content},
    {"F11.service.systemd", error, "ENOENT", container, medium, "systemd does not run", content},
    {"F11.service.dbus", error, "ENOENT", container, low, "no message bus", content},
    {"F7.installed.machine_id", error, "ENOENT", container, low, "no machine id", content},
    // Kernel.
    {"K1.uname.release*", one_of, "gvisor firecracker microsoft linuxkit kata", vm, high,
     "a kernel of a sandbox's maker", emulate},
    {"K2.proc.*", one_of, "gvisor firecracker microsoft linuxkit kata", vm, high,
     "a kernel of a sandbox's maker", overmount},
    {"K4.cmdline", one_of, "firecracker virtio_mmio reboot=k ip=169.254", vm, high,
     "start options of a small virtual machine", overmount},
    {"K7.pci", contains, "1af4", vm, high, "virtio devices", overmount},
    {"K7.virtio.count", above, "0", vm, high, "virtio devices", overmount},
    {"K8.virtio_interrupts", above, "0", vm, high, "interrupts of virtio devices", overmount},
    {"K9.partitions", contains, " vda", vm, medium, "a virtual disk", overmount},
    {"K9.block.names", contains, "vda", vm, medium, "a virtual disk", overmount},
    {"K10.cgroup", one_of, "docker kubepods lxc containerd libpod machine-", container, high,
     "the control group names a container", "cgroup namespace"},
    {"P1.init.cgroup", one_of, "docker kubepods lxc containerd libpod", container, high,
     "the control group names a container", "cgroup namespace"},
    {"K10.tree.names", error, "ENOENT", sandbox, medium, "no tree of control groups",
     "cgroup file system of the persona"},
    {"K12.boot_id", error, "ENOENT", sandbox, low, "no boot id", overmount},
    {"K13.dmi.sys_vendor", one_of, "QEMU KVM Bochs VMware Xen innotek Amazon Google OpenStack", vm,
     high, "firmware of a hypervisor", overmount},
    {"K13.dmi_list", error, "ENOENT", sandbox, low, "no firmware data", "sysfs of the persona"},
    {"K13.dmi_list.names", error, "ENOENT", sandbox, low, "no firmware data",
     "sysfs of the persona"},
    {"K13.hypervisor_type", present, "", vm, high, "names the hypervisor", overmount},
    {"K13.qemu_config.count", above, "0", vm, high, "firmware of QEMU", overmount},
    {"K14.class.hwmon.count", equals, "0", vm, low, "no sensors", "sysfs of the persona"},
    {"K14.class.thermal.count", equals, "0", vm, low, "no sensors", "sysfs of the persona"},
    {"K14.class.power_supply.count", equals, "0", vm, low, "no power supply",
     "sysfs of the persona"},
    {"K16.call.*", equals, "killed", sandbox, high, "the call ends the process that makes it",
     "refuse with an error"},
    {"K16.call.unshare_user", equals, "EPERM", container, low, "user namespaces are refused",
     "allow, or a host that refuses them too"},
    {"K16.call.clone3_empty", equals, "ENOSYS", container, low,
     "a call that kernels of this version have is missing", "natural errors"},
    {"K16.call.io_uring_setup", equals, "ENOSYS", sandbox, low,
     "a call that kernels of this version have is missing", "natural errors"},
    {"K16.call.*", equals, "EACCES", sandbox, low, "an unusual error", "natural errors"},
    {"K21.watch.bpf_symbols", above, "40", recorder, low, "programs of BPF are loaded",
     "kallsyms masked"},
    {"K21.watch.tracefs.names", present, "", recorder, low, "kernel tracing can be seen",
     "mask /sys/kernel/tracing"},
    {"K21.watch.kprobe_events", present, "", recorder, medium, "probes of the kernel can be read",
     "mask /sys/kernel/tracing"},
    {"K20.security.label", one_of, "docker containers libpod lxc", container, high,
     "the label names a container", "label of the persona"},
    // Processor, time.
    {"T1.cpuid.hypervisor_bit", equals, "1", vm, high, "the processor says that it is virtual",
     "CPUID faulting"},
    {"T1.cpuid.hypervisor_name", one_of,
     "KVMKVMKVM VMwareVMware XenVMMXenVMM TCGTCGTCG VBoxVBoxVBox Microsoft bhyve ACRN", vm, high,
     "the processor names the hypervisor", "CPUID faulting"},
    {"T2.cpuinfo.hypervisor", above, "0", vm, high, "the processor says that it is virtual",
     overmount},
    {"T4.cpuid_cost.cycles", above, "1000", vm, medium, "CPUID is trapped", nothing},
    {"T6.latency.getppid_ns", above, "4000", recorder, high, "system calls are slow", tracer},
    {"T6.latency.uname_ns", above, "2500", sandbox, low, "this call is slow: emulated", nothing},
    {"T8.uptime.boottime", below, "3600", sandbox, low, "the machine was started just now",
     "time namespace"},
    {"T10.offsets", present, "", sandbox, low, "the offsets of the time namespace can be read",
     emulate},
    {"T15.source", equals, "kvm-clock", vm, high, "the clock of a hypervisor", overmount},
    {"T13.load.15", equals, "0.00", sandbox, low, "nothing ever runs here", "load of the persona"},
    // Network.
    {"N1.interface.procfs", equals, "lo", sandbox, medium, "no network but the loopback", network},
    {"N1.route.ipv4", equals, "0", sandbox, medium, "no route", network},
    {"N1.route.default", contains, "10.0.2.", vm, medium, "the default network of an emulator",
     network},
    {"N1.route.default", contains, "172.17.", container, medium, "the default network of Docker",
     network},
    {"N1.interface.*.address", contains, "02:42:", container, high, "a hardware address of Docker",
     network},
    {"N1.interface.*.address", one_of, "52:54:00 02:fc:00", vm, medium,
     "a hardware address of an emulator", network},
    {"N2.resolver", one_of, "127.0.0.11 svc.cluster.local", container, high,
     "a resolver of containers", content},
    {"N11.hosts", one_of, "e2b.local host.docker.internal host.containers.internal", container,
     high, "names of a container's manager", content},
    {"N7.neighbours", below, "2", sandbox, low, "no neighbour was ever spoken to",
     "background traffic"},
    {"N7.sockets.unix", below, "5", container, low, "hardly any local sockets", "decoy processes"},
    // What other people's programs make of all that.
    {"C.systemd-detect-virt.container", Test::unlike, "none exit", container, critical,
     "systemd-detect-virt sees a container", "see the channels that it reads"},
    {"C.systemd-detect-virt.vm", Test::unlike, "none exit", vm, high,
     "systemd-detect-virt sees a virtual machine", "see the channels that it reads"},
    {"C.systemd-detect-virt", one_of,
     "docker podman lxc openvz systemd-nspawn container-other proot pouch rkt wsl", container,
     critical, "systemd-detect-virt sees a container", "see the channels that it reads"},
    {"C.lscpu.hypervisor", Test::unlike, "(no exit", vm, high, "lscpu sees a hypervisor",
     "CPUID faulting, sysfs of the persona"},
    {"C.virt-what", one_of, "docker podman lxc container bubblewrap", container, critical,
     "virt-what sees a container", "see the channels that it reads"},
    {"C.virt-what", one_of, "kvm vmware xen qemu hyperv virtualbox aws", vm, high,
     "virt-what sees a virtual machine", "see the channels that it reads"},
};

}  // namespace

std::span<const LeakRule> leak_rules() {
  return rules;
}

}  // namespace gyges::cues
