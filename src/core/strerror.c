/*
 * What this library means by the errnos it returns itself.
 */
#include <errno.h>
#include <string.h>

#include "ranged_mmap.h"

#ifndef RMFS_VERSION
#define RMFS_VERSION "unknown"
#endif

static const struct {
	int err;
	const char *text;
} texts[] = {
	{0, "Success"},
	{ENODATA, "The file is empty, nothing can be mapped"},
	{ENOBUFS, "The buffer is too small for the range"},
	{EMSGSIZE, "The length is not that of the range"},
	{EXDEV, "The range or allocator is another file's"},
	{ERANGE, "Past the end of the file"},
	{EALREADY, "Some of the range has been written already"},
	{EEXIST, "Exists already, or is taken"},
	{ENOENT, "No such file, or not taken"},
	{EBADF, "Not open for writing"},
	{ENOSPC, "No space left"},
	{EDQUOT, "The quota is used up"},
	{EIO, "The file was shrunk, or the device failed"},
	{EFBIG, "Larger than a file can be"},
	{EOPNOTSUPP, "Not supported by this filesystem or allocator"},
	{EINVAL, "Not a valid argument, or not the text of one"},
};

const char *rmm_strerror(int err)
{
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].err == -err)
			return texts[i].text;
#ifdef __GLIBC__
	const char *text = strerrordesc_np(-err);

	return text ? text : "Unknown error";
#else
	return strerror(-err);
#endif
}

const char *rmm_version(void)
{
	return RMFS_VERSION;
}
