/** Operators' routes: health, metrics, the cluster, roles, drains and reports of requests. */
package io.tandem.http.admin;
