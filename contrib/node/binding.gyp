# SPDX-License-Identifier: ISC
# The lane's sources: in the package beside it, in emplogd's tree above it.
{
  "variables": {
    "top%": "<!(node -p \"require('fs').existsSync('shm/lane.h') ? '.' : '../..'\")"
  },
  "targets": [
    {
      "target_name": "emplog",
      "include_dirs": ["<(top)"],
      "sources": [
        "src/addon.c",
        "<(top)/shm/console.c",
        "<(top)/shm/encode.c",
        "<(top)/shm/ident.c",
        "<(top)/shm/jobs.c",
        "<(top)/shm/loan.c",
        "<(top)/shm/log.c",
        "<(top)/shm/pool.c",
        "<(top)/shm/pool_lane.c",
        "<(top)/shm/ring.c",
        "<(top)/shm/sys_os.c",
        "<(top)/shm/text.c",
        "<(top)/shm/writer.c"
      ],
      "defines": ["_GNU_SOURCE"],
      "cflags": ["-std=gnu17", "-O2", "-fvisibility=hidden",
                 "-fno-strict-aliasing", "-Wall", "-Wextra"],
      "ldflags": ["-Wl,-z,nodelete", "-Wl,-z,now"]
    }
  ]
}
