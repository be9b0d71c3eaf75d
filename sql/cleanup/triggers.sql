-- cleanup: work rows.

select media_worker.attach_work_table('public.storage_cleanup_queue');
select media_worker.attach_work_table('public.cloudinary_cleanup_queue');
