/* Permission bits as people write them. */
#include "base/mode.h"

#include <errno.h>
#include <string.h>

#define OWNER 0600u

int mode_parse(const char *text, mode_t *mode)
{
	mode_t bits = 0;

	text += text[0] == '0';
	if (strlen(text) != 3 || strspn(text, "01234567") != 3)
		return -EINVAL;
	for (; *text; text++)
		bits = bits << 3 | (mode_t)(*text - '0');
	if ((bits & OWNER) != OWNER)
		return -EINVAL;
	*mode = bits;
	return 0;
}
