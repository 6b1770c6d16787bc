// Makes elements on the page equal to others and changes only what differs.
export { default } from 'morphdom';
