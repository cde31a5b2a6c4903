/* SPDX-License-Identifier: ISC */
/* remedy.c - what an operator can do about an error; see remedy.h */

#include "base/remedy.h"

#include <errno.h>

#include "banned.h"

const char *
disk_remedy(int error)
{
	switch (-error) {
	case ENOSPC:
		return "make room there, or free inodes: df -h, df -i";
	case EDQUOT:
		return "make room there, or raise the quota of its owner";
	case EFBIG:
		return "raise the limit on the size of files: LimitFSIZE=, "
		    "ulimit -f";
	case EMFILE:
		return "raise the limit on open files: LimitNOFILE=, "
		    "ulimit -n";
	case ENFILE:
		return "the whole machine has too many files open: "
		    "sysctl fs.file-max";
	case EROFS:
		return "mount it writable";
	case EACCES:
	case EPERM:
		return "give it to the user emplogd runs as";
	case ENOMEM:
		return "there is not enough memory";
	default:
		return "see what the kernel says of the disk: dmesg";
	}
}

const char *
letters_remedy(int error)
{
	return error == -ENOSPC ? "make room: emplogd dlq replay or drop, or "
	    "see df -h" : disk_remedy(error);
}
