// SPDX-License-Identifier: ISC
// ecosystem.config.js - emplogd beside the workers of a container
//
//   pm2 start ecosystem.config.js
//
// interpreter and exec_mode matter: else PM2 loads the binary as a Node
// module.  kill_timeout is above common.grace_ms (1200 ms).  78 is a fault of
// the configuration: the log says which, and starting again will not help.  0
// must not be there: PM2 takes a death by a signal for it.  --keep: the port of
// HTTP stays open while a killed agent is started anew, for workers that end
// when a line of their log is refused.
module.exports = {
  apps: [
    {
      name: "emplogd",
      script: "/usr/bin/emplogd",
      args: "--keep --role=agent",
      interpreter: "none",
      exec_mode: "fork",
      instances: 1,
      autorestart: true,
      stop_exit_codes: [78],
      // It always comes back, the later the more often it ended at once;
      // PM2's own 16 times would be the end of it.
      max_restarts: 1000000,
      min_uptime: 5000,
      exp_backoff_restart_delay: 100,
      kill_timeout: 1600,
      env: {
        // FLUENTD_HOST, FLUENTD_PORT and MACHINE_ID are understood too.
        EMPLOGD_AGENT_RELAY:
          process.env.EMPLOGD_AGENT_RELAY || "127.0.0.1:24224",
        EMPLOGD_COMMON_STATE_DIR:
          process.env.EMPLOGD_COMMON_STATE_DIR || "/workspace/emplogd",
      },
    },
  ],
};
