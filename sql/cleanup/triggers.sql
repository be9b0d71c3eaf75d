-- cleanup: work rows.

select media_worker.attach_work_table('public.storage_cleanup_queue');
