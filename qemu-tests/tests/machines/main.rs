//! Every test that boots a machine, in one program: images and programs are made once, and no core waits while one slow test is the last
//! of its file. Without `--test-threads` as many machines run at a time as there are cores.

mod boot_counting;
mod config_sources;
mod disk_cuts;
mod disk_life;
mod disk_volume;
mod figures;
mod flashed;
mod grub;
mod install_cuts;
mod installing;
mod kernel_devices;
mod kernel_failure;
mod matrix;
mod metal;
mod network_machine;
mod node;
mod services;
mod verity;
