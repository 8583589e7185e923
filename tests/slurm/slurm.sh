#!/usr/bin/env bash
# A one-node Slurm for tests, bound to 127.0.0.1, without systemd or accounting:
#   slurm.sh start FOLDER    writes FOLDER/slurm.conf and starts munged, slurmctld, slurmd
#   slurm.sh stop FOLDER
# Needs root, and: apt-get install --no-install-recommends slurm-wlm munge
set -euo pipefail
what=$1
mkdir -p "$2"
folder=$(realpath "$2")
if [ "$what" = stop ]; then
  for name in slurmd slurmctld munged; do
    if [ -f "$folder/$name.pid" ]; then kill "$(cat "$folder/$name.pid")" || true; fi
  done
  exit 0
fi
mkdir -p "$folder"/{state,spool,log}
host=$(hostname -s)
# nproc obeys OMP_NUM_THREADS, which is 1 wherever workers run
cpus=$(env -u OMP_NUM_THREADS nproc)
memory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 1024 - 512))
cat > "$folder/slurm.conf" <<CONF
ClusterName=matdisco
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$folder/munge.socket
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SlurmctldPort=16817
SlurmdPort=16818
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
KillWait=5
SchedulerParameters=sched_interval=5,bf_interval=5,batch_sched_delay=1
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$memory State=UNKNOWN
PartitionName=debug Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$folder/slurm.conf
if [ ! -f "$folder/munge.key" ]; then
  head -c 1024 /dev/urandom > "$folder/munge.key"
  chmod 400 "$folder/munge.key"
fi
munged --force --socket="$folder/munge.socket" --key-file="$folder/munge.key" \
  --pid-file="$folder/munged.pid" --log-file="$folder/log/munged.log" \
  --seed-file="$folder/munge.seed"
slurmctld -c
slurmd -N "$host" 2> /dev/null || slurmd
for _ in $(seq 40); do
  state=$(sinfo -h -o %T 2> /dev/null || true)
  if [ "$state" = idle ]; then break; fi
  sleep 0.5
done
sinfo
