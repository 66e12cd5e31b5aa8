#include "analysis/features/path_sets.h"

#include "analysis/features/glob.h"

namespace gyges::analysis {

const PathSet& credential_paths() {
  static const PathSet set = {
      {"**/.ssh/id_*", "SSH private key"},
      {"**/.ssh/*.pem", "SSH private key"},
      {"/etc/ssh/ssh_host_*_key", "SSH host key"},
      {"**/.aws/credentials", "cloud credentials"},
      {"**/.config/gcloud/**", "cloud credentials"},
      {"**/.azure/**", "cloud credentials"},
      {"**/.kube/config", "cluster credentials"},
      {"/var/run/secrets/**", "service account token"},
      {"/run/secrets/**", "service account token"},
      {"**/.docker/config.json", "registry credentials"},
      {"**/.netrc", "stored passwords"},
      {"**/.pgpass", "stored passwords"},
      {"**/.my.cnf", "stored passwords"},
      {"**/.git-credentials", "stored passwords"},
      {"**/.config/gh/hosts.yml", "code hosting token"},
      {"**/.npmrc", "registry token"},
      {"**/.pypirc", "registry token"},
      {"**/.gnupg/private-keys-v1.d/**", "PGP private key"},
      {"**/.password-store/**", "password store"},
      {"/etc/ssl/private/**", "TLS private key"},
      {"**/*.key", "private key"},
      {"**/.env", "environment file"},
      {"**/credentials.json", "credentials file"},
  };
  return set;
}

const PathSet& sensitive_paths() {
  static const PathSet set = {
      {"/etc/shadow*", "password hashes"},
      {"/etc/gshadow*", "password hashes"},
      {"/etc/sudoers", "sudo rules"},
      {"/etc/sudoers.d/**", "sudo rules"},
      {"/proc/*/mem", "memory of a process"},
      {"/proc/kcore", "memory of the kernel"},
      {"/dev/mem", "memory of the machine"},
      {"/dev/kmem", "memory of the kernel"},
      {"/dev/sd*", "raw disk"},
      {"/dev/vd*", "raw disk"},
      {"/dev/nvme*", "raw disk"},
      {"/boot/**", "boot files"},
      {"/sys/kernel/debug/**", "kernel debugging"},
      {"/sys/kernel/tracing/**", "kernel tracing"},
      {"/sys/fs/bpf/**", "pinned BPF objects"},
      {"/root/**", "root's home"},
      {"**/docker.sock", "container runtime socket"},
      {"**/containerd.sock", "container runtime socket"},
  };
  return set;
}

const PathSet& persistence_paths() {
  static const PathSet set = {
      {"/etc/cron*/**", "cron"},
      {"/etc/crontab", "cron"},
      {"/etc/anacrontab", "cron"},
      {"/var/spool/cron/**", "cron"},
      {"/var/spool/at/**", "at job"},
      {"/etc/systemd/**", "systemd unit"},
      {"/lib/systemd/**", "systemd unit"},
      {"/usr/lib/systemd/**", "systemd unit"},
      {"/run/systemd/system/**", "systemd unit"},
      {"**/.config/systemd/**", "systemd user unit"},
      {"/etc/init.d/*", "init script"},
      {"/etc/rc.local", "init script"},
      {"**/.ssh/authorized_keys*", "SSH login"},
      {"**/.bashrc", "shell start-up"},
      {"**/.bash_profile", "shell start-up"},
      {"**/.bash_login", "shell start-up"},
      {"**/.profile", "shell start-up"},
      {"**/.zshrc", "shell start-up"},
      {"**/.zshenv", "shell start-up"},
      {"/etc/profile", "shell start-up"},
      {"/etc/profile.d/*", "shell start-up"},
      {"/etc/bash.bashrc", "shell start-up"},
      {"**/.config/autostart/*", "desktop start-up"},
      {"**/.git/hooks/*", "git hook"},
      {"/etc/ld.so.preload", "preloaded library"},
      {"/etc/ld.so.conf.d/*", "library path"},
      {"/etc/pam.d/*", "login rules"},
  };
  return set;
}

const PathSet& log_paths() {
  static const PathSet set = {
      {"/var/log/**", "system log"},           {"/run/log/**", "system log"},
      {"/var/run/utmp", "login record"},       {"/run/utmp", "login record"},
      {"**/.bash_history", "command history"}, {"**/.zsh_history", "command history"},
      {"**/.ash_history", "command history"},  {"**/.python_history", "command history"},
      {"**/.lesshst", "command history"},      {"**/.viminfo", "command history"},
  };
  return set;
}

const PathSet& system_paths() {
  static const PathSet set = {
      {"/usr/**", "system"},
      {"/lib/**", "system"},
      {"/lib64/**", "system"},
      {"/bin/**", "system"},
      {"/sbin/**", "system"},
      {"/proc/**", "procfs"},
      {"/sys/**", "sysfs"},
      {"/etc/ld.so.*", "loader"},
      {"/etc/passwd", "user names"},
      {"/etc/group", "user names"},
      {"/etc/nsswitch.conf", "name service"},
      {"/etc/resolv.conf", "name service"},
      {"/etc/hosts", "name service"},
      {"/etc/host.conf", "name service"},
      {"/etc/gai.conf", "name service"},
      {"/etc/localtime", "time zone"},
      {"/etc/locale*", "locale"},
      {"/etc/ssl/**", "certificates"},
      {"/etc/inputrc", "shell"},
      {"/etc/bash.bashrc", "shell"},
      {"/etc/profile", "shell"},
      {"/etc/profile.d/**", "shell"},
      {"/etc/terminfo/**", "terminal"},
      {"/", "the root itself"},
  };
  return set;
}

const PathSet& scratch_paths() {
  static const PathSet set = {
      {"/tmp/**", "temporary file"},
      {"/var/tmp/**", "temporary file"},
      {"/dev/null", "device"},
      {"/dev/zero", "device"},
      {"/dev/full", "device"},
      {"/dev/tty", "device"},
      {"/dev/pts/**", "device"},
      {"/dev/ptmx", "device"},
      {"/dev/shm/**", "shared memory"},
      {"/dev/std*", "device"},
      {"/dev/fd/**", "device"},
      {"/proc/self/**", "own process"},
      {"/proc/thread-self/**", "own process"},
      {"/proc/*/comm", "name of a process"},
      {"/proc/*/oom_score_adj", "memory priority"},
  };
  return set;
}

std::optional<std::string_view> label_in(const PathSet& set, std::string_view path) {
  for (const PathRow& row : set)
    if (glob_matches(row.glob, path)) return row.label;
  return std::nullopt;
}

}  // namespace gyges::analysis
