// The readers that rows of the table name. Each says what it found by say(); none fails.
#pragma once

#include "sandbox/cues/probe/channel.h"

namespace gyges::probe {

// Files: argument is a path, "~/" the home directory, "./" the working directory.
void read_content(const Channel& channel);  // the whole, white space at its ends removed
void read_line(const Channel& channel);     // the line that begins with `key`
void read_word(const Channel& channel);     // the word of number `key`, from 0
void read_hash(const Channel& channel);     // length and hash of a content that is long
void read_count(const Channel& channel);    // lines that contain `key`
void read_link(const Channel& channel);
void read_presence(const Channel& channel);  // type, mode, owner, size class
void read_bus(const Channel& channel);       // who listens at a socket, and whether a bus answers
void read_owner(const Channel& channel);
void read_dates(const Channel& channel);    // modified, born
void read_listing(const Channel& channel);  // names and their number
void read_size(const Channel& channel);
void read_opening(const Channel& channel);      // error of opening it for writing
void read_file_system(const Channel& channel);  // statfs: type and flags
void read_room(const Channel& channel);         // statfs: blocks
void read_disguise(
    const Channel& channel);  // what tells an over-mounted proc file: device, size, type
void read_date_spread(const Channel& channel);  // how many different days the entries carry

// A file that the caller names: type, mode, owner, date and hash in one observation.
void read_named_file(const char* path);

void read_environment(const Channel& channel);
void read_environment_of_init(const Channel& channel);
void read_terminal(const Channel& channel);
void read_identity(const Channel& channel);
void read_limits(const Channel& channel);

void read_uname(const Channel& channel);
void read_system_information(const Channel& channel);
void read_prctl(const Channel& channel);
void read_affinity(const Channel& channel);
void read_auxiliary_vector(const Channel& channel);
void read_scheduling(const Channel& channel);

void read_descriptors(const Channel& channel);
void read_process_table(const Channel& channel);
void read_parents(const Channel& channel);
void read_ids(const Channel& channel);
void read_namespaces(const Channel& channel);
void read_mounts(const Channel& channel);
void read_disk(const Channel& channel);  // directories that do not look like the mounts they lie on

void read_refusals(const Channel& channel);  // what error each of many calls gives
void read_trace_me(const Channel& channel);

void read_cpuid(const Channel& channel);
void read_cpuid_cost(const Channel& channel);

void read_clocks(const Channel& channel);
void read_uptime(const Channel& channel);
void read_latency(const Channel& channel);

void read_interfaces(const Channel& channel);
void read_sockets(const Channel& channel);
void read_routes(const Channel& channel);
void read_reach(const Channel& channel);

void read_status_rows(const Channel& channel);        // are they of this kernel's release
void read_interrupt_sums(const Channel& channel);     // do two files agree on them
void read_zone_total(const Channel& channel);         // kilobytes
void read_directories_below(const Channel& channel);  // by two levels
void read_inode(const Channel& channel);
void read_missing_programs(const Channel& channel);
void read_group_limits(const Channel& channel);   // does its cgroup have all limits of memory
void read_open_files(const Channel& channel);     // is file-max that of file-nr
void read_disk_counts(const Channel& channel);    // do sysfs and procfs count the same of disks
void read_room_of_disk(const Channel& channel);   // has /etc/hosts, of the root's disk, its room
void read_unknown_types(const Channel& channel);  // does the kernel have what is mounted
void read_own_group(const Channel& channel);      // does /sys have the directory of its cgroup
void read_login_screen(const Channel& channel);   // does utmp name the process that asks for logins
void read_netlink(const Channel& channel);  // interfaces as ip(8) and getifaddrs(3) ask for them
void read_loaded_modules(const Channel& channel);
void read_newest(const Channel& channel);  // is the newest process as new as this one

void read_command(const Channel& channel);

}  // namespace gyges::probe
