// SPDX-License-Identifier: ISC
/* trace.ts - W3C trace context, as much of it as a connector without a library needs */

import { randomBytes } from 'node:crypto';

const TRACEPARENT = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})$/;

/** A new span: in the caller's trace, where the caller gave one, else in a new one. */
export function childOf(parent?: string): string {
	const m = TRACEPARENT.exec(parent ?? '');
	const trace = m?.[1] ?? randomBytes(16).toString('hex');
	return `00-${trace}-${randomBytes(8).toString('hex')}-${m?.[2] ?? '01'}`;
}
